package methods

func productMethods() []*Method { return nil }
