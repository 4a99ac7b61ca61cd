"""What `inv scan` looks for before anything is built: in Dockerfiles, stack files and manifests, secrets, packages, images."""
