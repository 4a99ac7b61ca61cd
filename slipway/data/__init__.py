"""What a stack keeps: backups, restores, drills, from the controller's side."""
