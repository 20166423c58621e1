"""The bill guard: what keeps others from running up the operator's bill. docs/bill-guard.md tells how."""
