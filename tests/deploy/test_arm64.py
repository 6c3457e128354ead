"""The engine and its tests for arm64, built by the cross compiler and run by qemu (docs/howto/build-for-arm64.md)."""
import os
import shutil
import subprocess
import sys

BUILD, SOURCE = sys.argv[1], sys.argv[2]
SYSROOT = os.environ.get("ESPALIER_ARM64_SYSROOT", "")
TESTS = ("test_ops", "test_core", "test_golden_ops", "test_model", "test_safetensors")

missing = [what for what, there in (("aarch64-linux-gnu-gcc", shutil.which("aarch64-linux-gnu-gcc")), ("qemu-aarch64", shutil.which("qemu-aarch64")),
                                    ("the folder ESPALIER_ARM64_SYSROOT", os.path.isdir(SYSROOT))) if not there]
if missing:
    print("skipped: not here:", ", ".join(missing))
    sys.exit(77)

here = os.path.join(BUILD, "arm64")
for command in (["cmake", "--preset", "release", "-S", SOURCE, "-B", here, "--toolchain", f"{SOURCE}/deploy/cmake/arm64.cmake",
                 f"-DESPALIER_SYSROOT={SYSROOT}", "-DESPALIER_WERROR=ON"],
                ["cmake", "--build", here, "--target", *TESTS],
                ["ctest", "--test-dir", here, "-R", f"^({'|'.join(TESTS)})$", "--output-on-failure"]):
    subprocess.run(command, cwd=SOURCE, check=True)
