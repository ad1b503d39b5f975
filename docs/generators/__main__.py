"""Write all generated parts of pages: `python -m docs.generators`."""

from docs.generators.parts import FOLDER, parts


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in parts().items():
        file = FOLDER / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # a server that watches would loop
            file.write_text(text, encoding="utf-8")


main()
