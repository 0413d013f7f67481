// Package nodefile says which files the nodes of a type have besides packages:
// root's authorised keys, a batch system's configuration, its secret key.
//
// A node type has one [List]. A node fetches it through its own agent, a moment
// after it came up and with each later question, and makes its files so. What may
// be believed depends on the node's policy: where that is offline or delegated,
// the list is a target that was signed offline ([Target]), and the server is only
// its bearer; where it is plain-opsi, the server's word counts.
//
// The list itself is no secret: whoever may read signed targets reads it. So what
// it says of a secret file must not help to guess it. A content that travels is a
// blob ([Seal], [Open]): of a secret it begins with 32 random bytes, and the
// digest in the list is that of the whole blob. It binds the content as a bare
// digest would, and tells nothing of it, however short it is. Blobs are given only
// to hosts whose list names them, over their own certificate.
//
// The text of a list has one spelling: [Parse] takes what [List.Bytes] prints, and
// nothing else.
//
// A file is whole, or a block: the lines between two marks in a file that others
// write, too ([Splice]).
//
// Where files cannot be is in [ValidPath]. It is no fence against who signs the
// list, since a file is a way to run what one likes; it keeps mistakes from
// locking everybody out, and from cutting the agent off its own proof.
package nodefile
