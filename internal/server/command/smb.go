package command

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/config"
)

// depot is what concerns the depot's folder on this machine.
func depot() *cobra.Command {
	c := &cobra.Command{Use: "depot", Short: "The depot on this machine", Args: noCommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(smbConf())
	return c
}

func smbConf() *cobra.Command {
	var o options
	share := share{}
	c := &cobra.Command{
		Use:   "smb-conf",
		Short: "Print what Samba needs to serve the depot",
		Long: `Print the part of smb.conf with which Samba serves the depot, as it lies on disk,
to clients whose clientconfig.depot.protocol is cifs. It is read only. The clients
log in with the one account that clientconfig.depot.user names; its password is
given to them by the config server.`,
		Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			return share.print(c.OutOrStdout(), cfg)
		},
	}
	o.define(c)
	c.Flags().StringVar(&share.user, "user", "pcpatch", "the account that clients log in with")
	c.Flags().StringVar(&share.name, "share", "opsi_depot", "the share's name, as in depotRemoteUrl (smb://SERVER/opsi_depot)")
	return c
}

type share struct{ user, name string }

// print writes the share. Samba reads the folder as its owner: the data folder is
// nobody else's, and the share cannot be written to.
func (s *share) print(w io.Writer, cfg config.Config) error {
	data := cfg.Data
	var err error
	if data == "" {
		data, err = config.DataFolder()
	}
	if err == nil {
		data, err = filepath.Abs(data)
	}
	if err != nil {
		return err
	}
	for _, text := range []string{s.user, s.name, data} {
		if text == "" || strings.ContainsAny(text, "\n\r[]%;#\"") || strings.TrimSpace(text) != text {
			return fleet.Errorf(fleet.Invalid, "cannot print the share: %q cannot stand in smb.conf", text)
		}
	}
	dir := filepath.Join(data, "depot")
	info, err := os.Stat(dir)
	if err != nil {
		return fleet.WithHint(fmt.Errorf("cannot find the depot: %w", err), "the first start of the server makes it; name its data folder with --data")
	}
	owner, err := ownerOf(info)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `# The depot in %[1]s, for Samba 4.13 or newer.
#
#   fernwerkd depot smb-conf > /etc/samba/fernwerk.conf
#   echo 'include = /etc/samba/fernwerk.conf' >> /etc/samba/smb.conf
#   useradd --system --no-create-home --shell /usr/sbin/nologin %[2]s
#   smbpasswd -a %[2]s
#   testparm -s && systemctl reload smbd
#
# Clients need port 445 (TCP) of this machine. SMB proves the server's identity
# to nobody: use it inside networks that you trust, and WebDAV elsewhere.

[%[3]s]
	comment = Products of Fernwerk
	path = %[1]s
	valid users = %[2]s
	# Only the owner may enter the data folder.
	force user = %[4]s
	read only = yes
	guest ok = no
	browseable = yes
	# Links are followed as long as they stay inside.
	follow symlinks = yes
	wide links = no
	# What the server keeps there for itself.
	veto files = /.staging/.manifests/.lock/
	# Nobody writes, so nothing is to be locked; files are replaced whole.
	locking = no
	oplocks = no
	smb encrypt = desired
`, dir, s.user, s.name, owner)
	return nil
}

// account is the name of a user id.
func account(id uint32) (string, error) {
	u, err := user.LookupId(fmt.Sprint(id))
	if err != nil {
		return "", fmt.Errorf("cannot tell whose the depot is: %w", err)
	}
	return u.Username, nil
}
