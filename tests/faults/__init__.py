"""`make faults`: honest logins while everything that can go wrong does, and a table of what became of them."""
