from spack.package import *


class Gridmill(CMakePackage):
    """Batch text generator for clusters: the same bits on any grid of MPI ranks, nothing finished is lost."""

    git = "file:///path/to/gridmill"  # where your clone is

    license("Apache-2.0")

    version("main", branch="main")

    variant("cuda", default=False, description="Build the CUDA backend")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10: ~mpi")
    depends_on("boost@1.74: +program_options")
    depends_on("fmt@9:")
    depends_on("nlohmann-json@3.11:")
    depends_on("xxhash@0.8:")
    depends_on("pcre2@10.42:")
    depends_on("utf8proc@2.8:")
    depends_on("openssl@3:")
    depends_on("zlib-api")
    depends_on("zstd@1.5:")
    depends_on("cuda@12:", when="+cuda")

    def cmake_args(self):
        return [self.define_from_variant("GRIDMILL_CUDA", "cuda"), self.define("GRIDMILL_DEVELOPER", False)]
