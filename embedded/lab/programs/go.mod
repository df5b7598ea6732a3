module cozystack-talos/embedded/lab/programs

go 1.24
