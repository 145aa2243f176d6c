"""The package index shows README.md, but not the files beside it: its links become absolute here. See setup.cfg."""

import re
from pathlib import Path

from setuptools import setup

# Links and pictures of Markdown whose targets are files beside README.md.
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)\s]+)\)")


def for_the_index(readme: str, setup_cfg: str) -> str:
    """Return the README with links into the repository that `Source` in setup.cfg names.

    As long as there is no `Source`, a link becomes its text, and a picture what it shows.
    """
    source = re.search(r"^\s+Source = (\S+?)/?$", setup_cfg, re.MULTILINE)

    def replaced(link: re.Match[str]) -> str:
        picture, text, target = link.groups()
        if source is None:
            return f"(Picture: {text}.)" if picture else text
        return f"{picture}[{text}]({source[1]}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return _LINK.sub(replaced, readme)


if __name__ == "__main__":
    files = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("README.md", "setup.cfg"))
    setup(long_description=for_the_index(*files))
