"""A copy of the shell scripts in a folder of its own, on a PATH that holds real small tools and
stand-ins for everything that would install, download or build. Each stand-in notes its arguments.
"""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL_TOOLS = ("awk bash cat chmod cp dirname env flock grep head mkdir mv nproc realpath rm sed "
              "sha256sum sort tail tee touch true").split()

PYTHON = r"""
case "$1 $2" in
  "-c "*version*torch*) echo "${FAKE_TORCH:?}" ;;
  "-c "*) ;;
  "-m venv")
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    ;;
  "-m pip")
    [[ -z ${FAKE_PIP_SLEEPS:-} ]] || REAL_SLEEP 60
    [[ -z ${FAKE_PIP_FAILS:-} ]] || { echo "No space left on device"; exit 1; }
    wheels=$(dirname "$0")/..
    mkdir -p "$wheels/lib/python3.11/site-packages/cmake/data/bin"
    cp "$(command -v fake-cmake)" "$wheels/lib/python3.11/site-packages/cmake/data/bin/cmake"
    cp "$(command -v fake-ninja)" "$wheels/bin/ninja"
    ;;
esac
"""
CMAKE = r"""
while (($#)); do [[ $1 != -B ]] || folder=$2; shift; done
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >"$folder/CMakeCache.txt"
touch "$folder/build.ninja"
"""
NINJA = r"""
echo "ninja: Entering directory $2"
if [[ -n ${FAKE_ERROR:-} ]]; then
  printf '[1/2] Building x.cpp.o\nFAILED: x.cpp.o\nx.cpp:1: error: %s\n' "$FAKE_ERROR"
  exit 1
fi
if [[ -e $2/adatape ]]; then
  echo "ninja: no work to do."
else
  echo "[1/1] Linking CXX executable adatape"
  cat >"$2/adatape" <<'END'
#!/usr/bin/env bash
echo "in $PWD:"
printf '[%s]' "$@"
exit "${FAKE_EXIT:-0}"
END
  chmod +x "$2/adatape"
fi
"""


class World:
    def __init__(self, folder):
        self.root = folder / "a project"  # a space, as people have them
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copy(ROOT / "requirements.txt", self.root)
        self.bin.mkdir()
        for tool in REAL_TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        lines = (self.root / "scripts/packages.txt").read_text().splitlines()
        self.packages = [line for line in lines if line and not line.startswith("#")]
        self.install_packages(self.packages)
        self.stand_in("id", "echo 0")
        self.stand_in("sudo", "exit 1")
        self.stand_in("apt-get", "")
        self.stand_in("python3", PYTHON.replace("REAL_SLEEP", shutil.which("sleep")))
        self.stand_in("sleep", "")
        self.stand_in("fake-cmake", CMAKE)
        self.stand_in("fake-ninja", NINJA)

    def stand_in(self, name, script):
        path = self.bin / name
        note = f'echo "{name} $*" >>"{self.calls_file}"'
        path.write_text(f"#!/usr/bin/env bash\n{note}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def install_packages(self, names):
        self.stand_in("dpkg-query", "\n".join(f"echo 'installed {name}'" for name in names))

    def calls(self, prefix):
        """The stand-ins' calls since last asked, of those that begin with `prefix`."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(prefix)]

    def environment(self, **variables):
        home = str(self.root.parent)
        return {"PATH": str(self.bin), "HOME": home, "FAKE_TORCH": "2.11.0", **variables}

    def start(self, script, *arguments, cwd="/", **variables):
        return subprocess.Popen([self.root / "scripts" / script, *arguments], cwd=cwd, text=True,
                                env=self.environment(**variables), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)

    def run(self, *command, **variables):
        process = self.start(*command, **variables)
        process.stdout_text, process.stderr_text = process.communicate(timeout=60)
        return process

    @property
    def stamp(self):
        return self.root / ".venv/bootstrap.env"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)
