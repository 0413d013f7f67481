package node

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Keys of properties that nodes of Slurm have.
const (
	SlurmFeatures = "features" // of the node, with + between: gpu+fast
	SlurmWeight   = "weight"   // nodes of less weight get jobs first
)

var slurmFeature = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)

// slurmOther is where what else Slurm knows of a node is said.
var slurmOther = map[string]string{
	"partition": "in slurm.conf, a partition takes nodes by a feature: NodeSet=gpu Feature=gpu, then PartitionName=gpu Nodes=gpu",
	"gres":      "a node's own slurmd says what the node has: put it into gres.conf, and into --conf of slurmd",
}

// SlurmProperties checks the properties of a node type whose scheduler is Slurm.
// Slurm has no properties by any name, as OAR does; what it would not know is
// refused, so that it is not missed when the first job asks for it.
func SlurmProperties(all map[string]string) error {
	for key, value := range all {
		switch key {
		case SlurmFeatures:
			seen := map[string]bool{}
			for f := range strings.SplitSeq(value, "+") {
				if seen[f] || !slurmFeature.MatchString(f) {
					return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%q is no list of features: %.80q is wrong, or there twice", value, f),
						"write them with + between, such as features=gpu+fast: each begins with a letter, then letters, digits and _ . -")
				}
				seen[f] = true
			}
		case SlurmWeight:
			if n, err := strconv.ParseUint(value, 10, 31); err != nil || strconv.FormatUint(n, 10) != value {
				return fleet.Errorf(fleet.Invalid, "%q is no weight of a node: it is a number from 0 to 2147483647", value)
			}
		default:
			hint := slurmOther[key]
			if hint == "" {
				hint = "its processors and memory are told by its own slurmd"
			}
			return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%.80q is no property of nodes of Slurm: they have features and weight", key), "%s", hint)
		}
	}
	return nil
}
