"""`python -m hessrun`."""

from hessrun.cli.main import entry

if __name__ == "__main__":
    entry()
