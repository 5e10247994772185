"""The nodes as Ansible knows them: inventories, playbooks run on them, and the lock that keeps a second run off."""
