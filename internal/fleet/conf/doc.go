// Package conf is the agent's configuration: the opsiclientd.conf format, the
// keys that it may hold, and which value of a key counts.
//
// # The format
//
// Lines of UTF-8: `[section]`, `key = value`, comments that begin with # or ;,
// blank lines. A value reaches to the end of its line without the blanks around
// it; it has no quotes, no continuation and no comment behind it. Sections and
// keys are lower case and stand once. A [File] keeps every byte, so that one
// that was only read prints back identically, and one in which a value was set
// differs in that line alone. `%section.key%` in a value stands for that key's
// value; any other % is itself.
//
// # The keys
//
// [Keys] is the whole list. What is not in it is an error that names the line
// and the nearest right word: a mistyped key that does nothing is worse than an
// agent that says so. Every key has a class. Data may be set by anybody.
// Code (a value that is executed) and trust (who is believed, what is reachable,
// where root writes) come from the machine's own file and from files that were
// signed offline, see [Signed]: a server that was taken over must not become root
// on its clients by a host parameter.
//
// # Which value counts
//
// Built-in text, then the file, then signed files (`conf/all.conf`, then
// `conf/NODETYPE.conf`), then the host parameters `opsiclientd.<section>.<key>`;
// later ones win, key by key. A signed value or a host parameter that may not be
// set or makes no sense is refused, and the rest still counts: a mistake far away
// must not silence the machines. A mistake in the file is
// an error.
//
// # Events
//
// `[event_NAME]` configures an event, `[event_NAME{PRECONDITION}]` a variant of
// it that counts while the state flags of `[precondition_PRECONDITION]` hold. A
// key that a section lacks comes from the section that `super` names, then, for
// a variant, from the main event. `active` and `preconditions` are every
// section's own, as the host parameters of a WAN client need it: they switch the
// main event off and leave its {cache_ready} variant on.
package conf
