# Install tree: headers, one static library per module, the binary, and a config file for
# find_package(gridmill).
