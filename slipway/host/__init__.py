"""Hosts: provisioned with Ansible, verified with Testinfra."""
