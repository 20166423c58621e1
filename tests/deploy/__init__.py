"""What deploy/ and docs/deployment.md hand to operators, tried out."""
