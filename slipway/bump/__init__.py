"""What `inv bump` knows of newer versions of what this repository stands on, and how one of them is taken."""
