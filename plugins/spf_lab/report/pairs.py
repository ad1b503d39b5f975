"""Same-seed pictures: a row for each pair, change maps below, and a slider from before to after."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from spf_lab.evaluation.pictures import Pictures, change, shared_top
from spf_lab.evaluation.purity import Floats
from spf_lab.report.arms import Arm, Json
from spf_lab.report.html import Html, image, join, tag
from spf_lab.report.sources import HEAT, LARGEST, change_map, picture
from spf_lab.report.texts import MAP_SCALE

ROLES = {
    "original": "A base model, base text",
    "prompted": "B base model, complete text",
    "tuned": "C tuned model, complete text",
    "tuned-base": "D tuned model, base text",
}


@dataclass(frozen=True)
class Tile:
    """A picture with a short title; `key` is what the slider calls it."""

    key: str
    title: str
    image: Image.Image
    alt: str


def run_rows(arm: Arm, pairs: Sequence[int]) -> Html:
    """A row per pair: A, B, C, D and the change from A to C, all maps on one scale."""
    kept = [arm.pictures(pair) for pair in pairs]
    top = shared_top([_change(pictures) for pictures in kept])
    rows = [
        pair_row(
            arm.rows[pair],
            described(arm.rows[pair], _scores(arm.rows[pair])),
            [_tile(role, pictures, arm.rows[pair]) for role in ROLES if role in pictures.roles],
            [_map(pictures, top, "|A - C|", f"tuned, {short(arm.rows[pair])}")],
        )
        for pair, pictures in zip(pairs, kept, strict=True)
    ]
    return join([pairs_of(rows), scale(top, MAP_SCALE)])


def arm_rows(arms: Sequence[Arm], pairs: Sequence[int]) -> Html:
    """A row per pair: the original and every arm with the target; below, the changes on one scale a row."""
    return pairs_of([_arm_row(arms, pair) for pair in pairs])


def pairs_of(rows: Sequence[Html]) -> Html:
    """Rows of pairs, in as many columns as the screen has room for."""
    return tag("div", *rows, class_="pairs")


def scale(top: float, what: str) -> Html:
    """The colour bar of maps from 0 to `top`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = ", ".join(to_hex(colormaps[HEAT](place / 8)) for place in range(9))
    bar = tag("span", "", class_="bar", style=f"background: linear-gradient(90deg, {shades})")
    return tag("p", "0", bar, f"{top:.2f} ", tag("span", what), class_="scale")


def _arm_row(arms: Sequence[Arm], pair: int) -> Html:
    kept = [(arm, arm.pictures(pair)) for arm in arms]
    shown = [(arm, pictures) for arm, pictures in kept if {"original", "tuned"} <= set(pictures.roles)]
    row, top = arms[0].rows[pair], shared_top([_change(pictures) for _, pictures in shown])
    first = Tile("original", "original", shown[0][1].roles["original"], f"base model, {short(row)}")
    tiles, maps = [first], [tag("div", class_="blank")]
    for arm, pictures in shown:
        alt = f"{arm.name}, complete text,  {short(row)}"
        tiles.append(Tile(arm.name, f"{arm.name} {_spi(arm.rows[pair])}", pictures.roles["tuned"], alt))
        maps.append(_map(pictures, top, "", alt))
    return pair_row(row, described(row, f"change maps: 0 to {top:.2f}"), tiles, maps, paired=True)


def pair_row(
    row: Json,
    caption: Html,
    tiles: Sequence[Tile],
    maps: Sequence[Html] = (),
    *,
    paired: bool = False,
    largest: int = LARGEST,
) -> Html:
    """One row of pictures beside its caption; `paired` puts each map below its picture.

    `row` has a `base_text` and the seed of its `noise`, by which the slider knows the pair.
    """
    figures = [
        tag(
            "figure",
            image(picture(tile.image, largest), tile.alt),
            tag("figcaption", tile.title),
            data_role=tile.key,
        )
        for tile in tiles
    ]
    if paired:
        figures = [
            tag("div", figure, below, class_="stack") for figure, below in zip(figures, maps, strict=True)
        ]
        maps = ()
    return tag(
        "article",
        caption,
        tag("div", *figures, *maps, class_="tiles", style=f"--tiles: {len(figures) + len(maps)}"),
        class_="pair",
        data_text=row["base_text"],
        data_pair=str(row["noise"]),
    )


def _tile(role: str, pictures: Pictures, row: Json) -> Tile:
    return Tile(role, ROLES[role], pictures.roles[role], f"{ROLES[role]}: {short(row)}")


def _map(pictures: Pictures, top: float, title: str, of: str) -> Html:
    changes = _change(pictures)
    source = change_map(changes, top, pictures.region_HW)
    region = pictures.region_HW
    outside = changes if region is None else changes[~region]
    where = "" if region is None else f", {outside.mean() if outside.size else 0.0:.2f} outside the region"
    alt = f"Change from the base model, {of}: mean {changes.mean():.2f}{where}"
    caption = (tag("figcaption", title),) if title else ()
    return tag("figure", image(source, alt), *caption)


def _change(pictures: Pictures) -> Floats:
    return change(pictures.roles["original"], pictures.roles["tuned"])


def described(row: Json, *more: str) -> Html:
    """A pair in words, with `more` about it in small print."""
    small = " · ".join([f"seed {row['seed']}", *more])
    return tag("div", tag("p", row["base_text"]), tag("p", small, class_="small"))


def _scores(row: Json) -> str:
    tau = row["tau"]
    seen = ", ".join(f"{role.upper()} {_value(tau[role])}" for role in ("b", "c", "d"))
    return f"SPI {_value(row['spi'])} · target probability {seen}"


def _spi(row: Json) -> str:
    return f"· SPI {_value(row['spi'])}"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def short(row: Json) -> str:
    """A pair in words."""
    return f"{row['base_text']}, seed {row['seed']}"
