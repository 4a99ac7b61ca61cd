"""Releases on a cluster: kustomize makes the manifests, kubectl is the way to the API server."""
