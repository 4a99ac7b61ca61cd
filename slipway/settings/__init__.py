"""Settings: environments and stacks as typed values; secrets; every error with file:line."""
