"""What a map of the data shows, by which definition, and what may be concluded from it."""

from __future__ import annotations

from app.figures.map import MapInfo
from app.parts import literal
from ddm_core.analysis.data_map import DataMap

__all__ = ["conclusion", "definition"]


def definition(data_map: DataMap, embedding: str, info: MapInfo) -> str:
    """What is drawn, and by which rule, as Markdown."""
    about, features = data_map.about, data_map.features.shape[1]
    words = [f"Dots: {literal(about.source)}, in the colour of their cluster."]
    if info.ways:
        what = "state x_t" if embedding == "plane" else "predicted clean image"
        words.append(
            f"Lines: the {literal(what)} of a sample from noise to its end (large dot), in the "
            "colour of the expert with the largest weight, without one where none leads."
        )
    if embedding == "umap":
        words.append(
            f"UMAP (15 neighbours) of the {features} clustering features, fitted on the data and "
            f"{literal(about.fitted_with)}; a sample lies at the mean of its 15 nearest fitted "
            "points, weighted by 1 / distance²."
        )
    elif embedding == "pca":
        words.append(f"PCA: the two main directions of the {features} clustering features.")
    return " ".join(words)


def conclusion(data_map: DataMap, embedding: str, info: MapInfo) -> str:
    """How to read it, as Markdown."""
    about, features = data_map.about, data_map.features.shape[1]
    trust = about.trustworthiness.get(embedding)
    trusted = "" if trust is None else f" (trustworthiness {trust:.2f} of 1)"
    if embedding == "umap":
        words = [
            f"Read who is beside whom{trusted}.",
            "Distances, sizes and gaps mean nothing here; a line across a gap says that the "
            "prediction became another kind of image, not that it passed what lies between.",
        ]
        if about.placing_error is not None:
            words.append(
                f"A real image left out lands {about.placing_error:.1%} of the width off."
            )
    elif embedding == "pca":
        words = [
            f"What lies apart is apart; what lies together may be apart in the {features - 2} "
            f"directions that are not drawn{trusted}."
        ]
    else:
        words = ["Samples are points of this plane: nothing is embedded, distances are real."]
    if any(way.far.any() for way in info.ways):
        words.append(
            "Hollow dots are farther from all of it than 99% of the data from each other."
        )
    return " ".join([f"**{words[0]}**", *words[1:]])
