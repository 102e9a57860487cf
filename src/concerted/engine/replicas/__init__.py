"""What a coordinator does with groups of replicas beside its agents."""
