"""The rules of ``python -m cluster.check_yaml``: what is wrong in a cluster file, found without network or account."""
