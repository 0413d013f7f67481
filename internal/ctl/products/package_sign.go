package products

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// mostShown is how many changed paths and refusing hosts are named.
const mostShown = 10

func (t command) packageSignCommand() *cobra.Command {
	var s signer
	c := &cobra.Command{
		Use: "sign FILE...", Args: tool.Args,
		Short: "Sign what clients get of packages that were built before",
		Long: `Sign what clients get of packages that were built before, or elsewhere: the
files, and which of them is run for which action. The package is read whole and
stays as it is; the signature is on the list of the folder of content trust.

Older versions of the product leave the list, so that no server can hand them out
again; --keep lets them stay, for a depot that has the new one later, say.`,
		Example: "  fernwerk package sign firefox_128.0-1.opsi --platform windows --trust /media/stick/trust",
		RunE:    func(c *cobra.Command, given []string) error { return t.packageSign(c.Context(), given, &s) },
	}
	s.add(c)
	return c
}

func (t command) packageSign(ctx context.Context, files []string, s *signer) error {
	if err := s.open(t.Tool); err != nil {
		return err
	}
	defer s.close()
	var all []signable
	for _, path := range files {
		one, err := readPackage(ctx, path)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	version, err := s.sign(all)
	if err != nil {
		return err
	}
	return t.Say(map[string]any{"files": files, "targets": version}, "signed %s: list %d; next: fernwerk trust publish", strings.Join(files, ", "), version)
}

func readPackage(ctx context.Context, path string) (signable, error) {
	p, f, err := openPackage(ctx, path)
	if err != nil {
		return signable{}, err
	}
	defer f.Close()
	m, err := p.Unpack(ctx, func(archive.Layer, manifest.Entry, io.Reader) error { return nil })
	if err != nil {
		return signable{}, fmt.Errorf("%s: %w", path, err)
	}
	return signable{p.Control, m}, nil
}

// signable is what is signed of a package.
type signable struct {
	control *control.Control
	tree    *manifest.Manifest // of CLIENT_DATA
}

// signer signs packages with a folder of content trust.
type signer struct {
	signing.Flags
	platform string
	keep     bool
	tool     *tool.Tool
	dir      *offline.Dir
	ring     *offline.Ring
}

func (s *signer) add(c *cobra.Command) {
	s.AddDir(c)
	s.Add(c)
	c.Flags().BoolVar(&s.keep, "keep", false, "let older versions stay on the list: hosts go on taking them")
	c.Flags().StringVar(&s.platform, "platform", "", "hosts of which platform may run it: "+strings.Join(trust.Platforms, ", ")+" (default any)")
}

func (s *signer) given() bool { return s.Dir != "" || s.platform != "" || s.keep }

func (s *signer) open(t *tool.Tool) (err error) {
	s.tool = t
	if s.platform == "" {
		s.platform = trust.Platforms[0]
	}
	if !slices.Contains(trust.Platforms, s.platform) {
		return fleet.Errorf(fleet.Invalid, "cannot sign for the platform %q: want one of %s", s.platform, strings.Join(trust.Platforms, ", "))
	}
	if s.dir, err = s.Open(t, ""); err != nil {
		return err
	}
	s.ring, err = s.Ring(t)
	return err
}

func (s *signer) close() {
	_ = s.dir.Close() // it holds a lock, which ends with us
}

// sign puts packages on the list and signs it. Their older versions go: what stays
// on the list a server can hand out for ever, with every hole that was mended since.
func (s *signer) sign(all []signable) (version int64, err error) {
	var names, gone []string
	for _, one := range all {
		target := trust.TargetOf(one.tree.Text())
		if target.Custom, err = scripts(one.control.Product); err != nil {
			return 0, err
		}
		p := one.control.Product
		name := trust.ProductName(string(p.ID), p.ProductVersion, p.PackageVersion, s.platform)
		s.dir.AddTarget(name, target)
		names = append(names, name)
	}
	for _, one := range all {
		if s.keep {
			break
		}
		for _, name := range older(one.control.Product, s.platform, s.dir.Names("product/"+string(one.control.Product.ID)+"/")) {
			if !slices.Contains(names, name) && s.dir.Remove(name) {
				gone = append(gone, name)
			}
		}
	}
	if version, err = s.dir.Sign(s.ring, time.Now()); err == nil && len(gone) > 0 {
		s.tool.Remark("no longer on the list: %s; hosts refuse it when the list is published (--keep lets older versions stay)", strings.Join(gone, ", "))
	}
	return version, err
}

// older are those of a product's names that a newer version replaces on hosts of a
// platform: one for any host replaces all, one for a platform that platform's.
func older(p fleet.Product, platform string, names []string) (out []string) {
	for _, name := range names {
		parts := strings.Split(name, "/")
		if len(parts) != 4 || platform != trust.Platforms[0] && parts[3] != platform {
			continue
		}
		productVersion, packageVersion, ok := strings.Cut(parts[2], "-")
		by := fleet.CompareVersions(productVersion, p.ProductVersion)
		if by == 0 {
			by = fleet.CompareVersions(packageVersion, p.PackageVersion)
		}
		if ok && by < 0 {
			out = append(out, name)
		}
	}
	return out
}

// scripts says which file of the tree is run for which action, as the server and
// hosts will have it.
func scripts(p fleet.Product) ([]byte, error) {
	row, err := fleet.Products.Check(fleet.Products.Encode(p), fleet.Creating)
	if err != nil {
		return nil, err
	}
	out := trust.Scripts{}
	for field, v := range row {
		if file, _ := v.(string); file != "" && strings.HasSuffix(field, "Script") {
			out[field] = file
		}
	}
	return out.Custom()
}

// publish hands the server the list before what it names is installed.
func (t command) publish(ctx context.Context, f *signing.Flags) error {
	d, err := f.Open(t.Tool, "")
	if err != nil {
		return err
	}
	defer d.Close()
	if d.Changed() || d.Unpublished() {
		p, err := d.Publish(ctx, t.Tool)
		if err != nil {
			return err
		}
		t.Remark("published list %d", p[trust.RoleTargets])
	}
	return nil
}

// remarkTrust says who signed what was installed.
func (t command) remarkTrust(report map[string]any) {
	j, ok := report["trust"].(map[string]any)
	if !ok || j["known"] != true {
		return // nothing is signed at that server
	}
	switch j["signed"] {
	case "offline":
		t.Remark("  signed offline, for %s", console.Cell(j["platforms"]))
	case "depot":
		t.Remark("  postinst changed what was signed offline, in %v places; the server signed the tree as it is", report["differing"])
		changes, _ := report["differences"].([]any)
		for i, v := range changes {
			if i == mostShown {
				t.Remark("    ... and %d more", len(changes)-i)
				break
			}
			change, _ := v.(map[string]any)
			t.Remark("    %s: %s", console.Cell(change["change"]), console.Cell(change["path"]))
		}
		t.Remark(`  hosts whose policy is "offline" refuse it%s`, refusing(j))
	default:
		t.Remark(`  nobody signed it: hosts refuse it, but for those whose policy is "plain-opsi"%s`, refusing(j))
		t.Remark("  sign it with: fernwerk package sign FILE --trust DIR; then: fernwerk trust publish DIR")
	}
}

// refusing names the hosts that will refuse, as far as they told their policy.
func refusing(j map[string]any) string {
	n, _ := j["refusing"].(float64)
	if n == 0 {
		return ": none that told its policy"
	}
	var names []string
	hosts, _ := j["refused"].([]any)
	for i, h := range hosts {
		if i == mostShown {
			break
		}
		names = append(names, console.Cell(h))
	}
	text := fmt.Sprintf(": %d", int(n))
	if len(names) > 0 {
		text += ", " + strings.Join(names, ", ")
	}
	if len(names) < int(n) && len(names) > 0 {
		text += ", ..."
	}
	return text
}
