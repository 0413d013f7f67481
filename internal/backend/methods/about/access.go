package about

import "github.com/fernwerk/fernwerk/internal/backend/methods"

func accessMethods() []*methods.Method {
	readOnly := func(c *methods.Call) (any, error) { return c.Actor.Role == methods.Reader, nil }
	return []*methods.Method{
		{
			Name: "accessControl_authenticated", Roles: methods.Everyone, Do: func(*methods.Call) (any, error) { return true, nil },
			Doc: "True for whoever gets this far.",
		},
		{
			Name: "accessControl_userIsAdmin", Roles: methods.Everyone, Do: func(c *methods.Call) (any, error) { return c.Actor.Role == methods.Administrator, nil },
			Doc: "Whether the caller is an administrator.",
		},
		{
			Name: "accessControl_userIsReadOnlyUser", Roles: methods.Everyone, Do: readOnly,
			Doc: "Whether the caller only looks: a reader.",
		},
		{
			Name: "userIsReadOnlyUser", Roles: methods.Everyone, Do: readOnly, Deprecated: true, Instead: "accessControl_userIsReadOnlyUser",
			Doc: "Whether the caller only looks: a reader.",
		},
		{
			Name: "accessControl_getUserGroups", Roles: methods.Everyone, Do: userGroups,
			Doc: "The caller's role, by the name of the group that opsi's tools look for.",
		},
	}
}

// groupsOf are the groups by which opsi's tools know what a user may do.
var groupsOf = map[methods.Role][]any{
	methods.Administrator: {"opsiadmin"},
	methods.Reader:        {"opsireadonly"},
}

func userGroups(c *methods.Call) (any, error) {
	groups := groupsOf[c.Actor.Role]
	if groups == nil {
		groups = []any{}
	}
	return groups, nil
}
