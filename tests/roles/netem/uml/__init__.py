"""A user-mode Linux on this machine's own files, read-only: its kernel has the netem that this machine's may lack.

On the host, `boot` starts it and `remote` has pytest's items run in it. In the guest, `init` is its first process, for one
of two programs: `session`, which runs tests, and `measure`, which returns what it measured.
"""
