"""What the modules of all roles share: programs, files and changes of the node on which a module runs."""
