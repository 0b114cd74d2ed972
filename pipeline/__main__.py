"""``python -m pipeline`` is the command ``mixture-pipeline``."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
