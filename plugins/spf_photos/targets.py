"""What a target text may change, by its words. Torch-free.

A text that no row of the table knows is local, may change the region that attention finds and no attribute
beside it, and keeps the identity.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spf_core.errors import unknown
from spf_photos.attributes import ATTRIBUTES

Scope = Literal["local", "global"]
FACE = ("skin", "nose", "brows", "eyes", "lips", "ears", "neck")


@dataclass(frozen=True)
class Allowance:
    """What a target may change: `parts` are classes of the face parser, `attributes` those of the table."""

    scope: Scope = "local"
    parts: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    changes_identity: bool = False

    def to_json(self) -> dict[str, Any]:
        """What results.json records."""
        return {
            "scope": self.scope,
            "allowed_parts": sorted(self.parts),
            "allowed_attributes": sorted(self.attributes),
            "changes_identity": self.changes_identity,
        }


def _row(
    words: str,
    parts: Sequence[str] = (),
    attributes: str = "",
    *,
    identity: bool = False,
    scope: Scope = "local",
) -> tuple["re.Pattern[str]", Allowance]:
    pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
    return pattern, Allowance(scope, frozenset(parts), frozenset(attributes.split()), identity)


_LOOK = "medium light hair_color skin_tone"
TABLE = (
    # Styles: every pixel may change its look, and no part its place.
    _row("water-?colou?rs?|aquarelle|gouache", (), _LOOK, scope="global"),
    _row(
        "(?:oil|acrylic)[ -]paint(?:ing|ings|ed)?|painting|painterly|impressionist", (), _LOOK, scope="global"
    ),
    _row("(?:pencil |charcoal )?(?:sketch|drawing)(?:es|s)?|line art|engraving", (), _LOOK, scope="global"),
    _row("cartoon|anime|comic|pixar|illustration|pop art|pixel art|mosaic", (), _LOOK, scope="global"),
    _row(
        "sepia|black[ -]and[ -]white|monochrome|vintage (?:photo|look|style|film)|film grain|polaroid",
        (),
        _LOOK,
        scope="global",
    ),
    _row("neon light(?:s|ing)?|golden hour|back-?lit|low[ -]key|high[ -]key", (), "light", scope="global"),
    # Things that are worn.
    _row(
        r"(?:top |straw |cowboy |bucket )?hats?|caps?|beanies?|berets?|helmets?|crowns?|tiaras?|fedoras?|"
        r"turbans?|head-?scar(?:f|ves)|hijabs?|hoods?|bonnets?",
        ("hat", "hair", "ears"),
        "headwear hair_style hair_length hair_color",
    ),
    _row("sun-?glasses", ("eye_g", "eyes", "brows"), "eyewear"),
    _row("(?<!sun)(?:eye-?)?glasses|spectacles|goggles|monocles?", ("eye_g", "eyes", "brows"), "eyewear"),
    _row("eye-?patch(?:es)?", ("eye_g", "eyes", "brows", "skin"), "eyewear"),
    _row("ear-?rings?|ear studs?|piercings?", ("ear_r", "ears")),
    _row("neck-?laces?|pendants?|pearls|chokers?", ("neck_l", "neck")),
    _row("scar(?:f|ves)|neck-?ties?|bow-?ties?|collars?", ("neck", "neck_l", "cloth"), "clothes"),
    _row(
        r"suits?|jackets?|shirts?|t-shirts?|sweaters?|jumpers?|hoodies|coats?|dress(?:es)?|armou?r|uniforms?|"
        r"kimonos?|blazers?|cardigans?|clothes",
        ("cloth", "neck"),
        "clothes",
    ),
    # Hair and face.
    _row(
        r"(?:black|brown|blond|blonde|red|ginger|grey|gray|white|silver|blue|green|pink|purple|dyed|orange)"
        r"(?:[ -]\w+){0,2}[ -]hair(?:ed)?|red-?heads?|blondes?|highlights",
        ("hair", "brows"),
        "hair_color",
    ),
    _row(
        r"(?:curly|wavy|straight|frizzy|spiky|messy)(?:[ -]\w+){0,2}[ -]hair(?:ed)?|curls|afros?|perm|"
        r"dread-?locks|braids?|corn-?rows|pony-?tails?|pig-?tails?|mohawks?|buns?|bangs|fringe|bob|hair-?styles?|"
        r"hair-?cuts?",
        ("hair",),
        "hair_style hair_length",
    ),
    _row(
        r"(?:long|short|shoulder-length)(?:[ -]\w+){0,2}[ -]hair(?:ed)?|bald|shaved head|buzz-?cut|crew cut",
        ("hair",),
        "hair_style hair_length hair_color",
    ),
    _row("beards?|bearded|stubble|goatees?|sideburns|unshaven", ("skin", "lips", "neck"), "facial_hair"),
    _row("moustaches?|mustaches?", ("skin", "lips"), "facial_hair"),
    _row("freckles?|freckled|scars?|moles?|dimples?|pimples|tattoos?|face paint(?:ing)?", ("skin", "nose")),
    _row(
        "make-?up|lip-?sticks?|red lips|eye-?shadow|eye-?liner|mascara|blush",
        ("skin", "lips", "eyes", "brows"),
    ),
    _row("(?:blue|green|brown|hazel|grey|gray|amber) eyes|eye colou?r", ("eyes",)),
    _row(
        "smil(?:e|es|ing)|laugh(?:s|ing)?|grin(?:s|ning)?|frown(?:s|ing)?|angry|sad|surprised|crying|scowl|"
        "open mouth|winking|pout(?:ing)?",
        ("skin", "lips", "eyes", "brows", "nose"),
        "expression",
    ),
    # Who is seen.
    _row(
        r"(?:old|older|young|younger)(?= (?:age|man|woman|person|face|lady|boy|girl)|,|$)|elderly|aged|"
        r"child|baby|teenager|wrinkles?|wrinkled|\d+ years old",
        (*FACE, "hair"),
        "age hair_color hair_length hair_style facial_hair expression skin_tone",
        identity=True,
    ),
    _row(
        "as a (?:woman|man)|female|male|feminine|masculine",
        (*FACE, "hair", "cloth"),
        "gender hair_length hair_style facial_hair clothes",
        identity=True,
    ),
    _row(
        "chubby|fat|thin|slim|muscular|round face|vampire|zombie|elf|elven", FACE, "skin_tone", identity=True
    ),
    _row("tanned|sunburnt|pale|tan skin|pale skin", FACE, "skin_tone"),
    # What is around.
    _row(
        r"(?:in|on|at|before|in front of|against) (?:a |an |the )?(?:\w+ ){0,2}(?:background|beach|forest|"
        r"street|city|office|studio|snow|mountains?|wall|park|kitchen|library|space)",
        ("background",),
        "background light",
    ),
    _row(
        "close-?up|full[ -]body|from behind|in profile|side view",
        (),
        "framing gaze background",
        scope="global",
    ),
)


def allowance_of(target: str) -> Allowance:
    """What the words of a target text allow, all matching rows together."""
    found = [allowance for pattern, allowance in TABLE if pattern.search(target)]
    return Allowance(
        "global" if any(each.scope == "global" for each in found) else "local",
        frozenset().union(*(each.parts for each in found)),
        frozenset().union(*(each.attributes for each in found)),
        any(each.changes_identity for each in found),
    )


def check_attributes(names: Sequence[str]) -> frozenset[str]:
    """The names of attributes as a set; ConfigError for one that the table does not have."""
    for name in names:
        if name not in ATTRIBUTES:
            raise unknown("attribute", name, ATTRIBUTES)
    return frozenset(names)
