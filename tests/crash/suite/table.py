"""The log of the suite as a table."""
from collections import defaultdict

PHASES = ["creating", "first commit", "steady", "partial rows", "exporting"]


def print_table(hits):
    counted = [hit for hit in hits if hit["counted"]]
    flying = [hit for hit in counted if hit["in_flight"]]
    by_hurt = defaultdict(list)
    for hit in counted:
        by_hurt[hit["hurt"]].append(hit)
    print("| what | counted | rows in flight | " + " | ".join(PHASES) + " |")
    print("|---|" + "---|" * (2 + len(PHASES)))
    for name in sorted(by_hurt):
        rows = by_hurt[name]
        cells = [len(rows), sum(hit["in_flight"] for hit in rows)]
        cells += [sum(hit["phase"] == phase for hit in rows) for phase in PHASES]
        print(f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |")
    cells = [len(counted), len(flying)] + [sum(hit["phase"] == phase for hit in counted) for phase in PHASES]
    print("| all | " + " | ".join(str(cell) for cell in cells) + " |")
    damaged = sum(hit["hurt"] == "damaged file" for hit in hits)
    if damaged:
        print(f"\nbeside these: {damaged} files with flipped bits repaired, and cut short refused")
    grids = defaultdict(int)
    for hit in counted:
        grids[hit["grid"]] += 1
    print("\nby grid: " + ", ".join(f"{grid} {count}" for grid, count in sorted(grids.items())))
    print(f"{len(hits)} tried, {len(counted)} counted, rows in flight in "
          f"{100 * len(flying) / max(1, len(counted)):.0f} % of them; rows acknowledged before a hit: "
          f"{sum(hit['acknowledged'] for hit in counted)} (a lost one ends the suite)")
