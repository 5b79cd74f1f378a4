"""Colours and dashes, light and dark; safe for the colour-blind (Okabe-Ito)."""

from __future__ import annotations

from dataclasses import dataclass

#: Exactly 10 entries: with fewer, plotly.js silently falls back to its own colours.
_LIGHT_PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"),
    *("#56B4E9", "#F0E442", "#000000", "#0072B2", "#E69F00"),
)
_DARK_PALETTE = (
    *("#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7"),
    *("#0072B2", "#F0E442", "#FFFFFF", "#56B4E9", "#E69F00"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """The colours of one theme."""

    primary: str
    text: str
    grid: str
    line: str
    band: str  # rgba with low alpha: an opaque band drowns the line
    past: str  # last week's thin line
    alert: str
    grey: str
    purple: str
    green: str
    red: str
    palette: tuple[str, ...]


LIGHT = Theme(
    primary="#0B5CAD",
    text="#111111",
    grid="rgba(17,17,17,0.10)",
    line="#0072B2",
    band="rgba(0,114,178,0.13)",
    past="#767676",
    alert="#E69F00",
    grey="#6E6E6E",
    purple="#8A3A7B",
    green="#00795A",
    red="#B34700",
    palette=_LIGHT_PALETTE,
)
DARK = Theme(
    primary="#6CB6FF",
    text="#FAFAFA",
    grid="rgba(250,250,250,0.13)",
    line="#56B4E9",
    band="rgba(86,180,233,0.20)",
    past="#A3A3A3",
    alert="#E69F00",
    grey="#A8A8A8",
    purple="#D9A3C7",
    green="#2FC79A",
    red="#F08A4B",
    palette=_DARK_PALETTE,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """How one kind of change is drawn: by shape and dash, never by colour alone."""

    dash: str
    symbol: str
    colour: str  # a field of Theme


MARKS = {
    "deploy": Mark("dash", "diamond", "grey"),
    "prompt": Mark("dot", "circle", "purple"),
    "model": Mark("dashdot", "square", "green"),
    "parameter": Mark("longdash", "triangle-up", "red"),
    "provider": Mark("longdashdot", "star", "green"),
}
OTHER_MARK = Mark("dash", "x", "grey")


def theme(kind: str | None) -> Theme:
    """Return the theme that ``st.context.theme.type`` names; light where it is not known."""
    return DARK if kind == "dark" else LIGHT
