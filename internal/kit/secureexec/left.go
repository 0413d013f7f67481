package secureexec

import "time"

// markName is the variable by which those are known that a killed process of ours left
// behind. A child that has it hands it to its own children.
const markName = "FERNWERK_FAMILY"

// leftGrace is how long who is left has to end when asked, and as long again when killed.
const leftGrace = 5 * time.Second
