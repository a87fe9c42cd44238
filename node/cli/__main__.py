"""`python -m node.cli`: the command without its script, for child processes."""

from node.cli.main import main

if __name__ == "__main__":
    main(prog_name="zring")
