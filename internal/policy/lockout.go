package policy

// KeepsOpen reports whether key policy p lets r's principal replace it later: directly, or through the account, whose
// IAM policies are then taken to suffice (AWS KMS API Reference, PutKeyPolicy, BypassPolicyLockoutSafetyCheck).
// Conditions are held against r's context, so that a policy fails whose conditions the request at hand would not meet.
func KeepsOpen(p *Policy, r *Request) bool {
	alone := Principal{}
	if r.Principal != nil {
		alone = *r.Principal
		alone.Identity, alone.Boundary, alone.Session = nil, nil, nil
	}
	later := *r
	later.Principal, later.Action, later.ResourcePolicy = &alone, "kms:PutKeyPolicy", p
	e := newEvaluation(&later)
	if _, denied := e.denied(); denied || e.foreign {
		return false
	}
	closest, _ := e.byResource()
	return closest != stranger && e.cost <= maxCost
}
