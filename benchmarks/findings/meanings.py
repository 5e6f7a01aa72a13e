"""What each finding means, for each way that it can come out; what its p is of; and why some are open."""

from __future__ import annotations

from benchmarks.findings.finding import Same

OPEN: dict[str, tuple[str, str, str]] = {
    "A10": (
        "SlowFast has a shorter ATR than I3D",
        "4.6 against 8.2 frames (SSV2)",
        "its networks are those trained on Kinetics and Something-Something, which are not at hand.",
    ),
}
"""Findings of the papers that nothing here measures: claim, what is published, and why."""

TESTED: dict[str, str] = {
    "A2": "avg-ATR of the two rules",
    "A4": "kernels of 7 against 3",
    "A5": "32 against 8 frames",
    "A7": "1 against 8 steps",
    "A8": "relevance in the action against its share of the frames",
    "A9": "avg-ATR",
    "B1": "3-D CNN against C-LSTM",
    "B2": "differences of the two networks",
    "B4": "IoU",
    "B5": "freezing against reversing",
    "B7": "blobs per frame, Welch",
    "C1": "the largest of the three, of GC's fall",
    "C3": "DTD",
    "C7": "before against after",
    "D1": "4 gone, lowest first, against none",
    "D2": "right against wrong, Welch",
    "D5": "8 against 2 snippets",
    "D6": "3 against 1 away",
    "D8": "ESV against the better of the others",
    "D9": "ESV-IG on the two",
    "E1": "CI of ST against Grad-CAM",
    "E2": "random against the lowest other",
    "E4": "ST against Grad-CAM",
    "E5": "CI",
    "E6": "S-PT",
    "E8": "against even",
}
"""What is compared by the p of a finding that has one."""

MEANINGS: dict[str, dict[Same, str]] = {
    "A1": {
        "yes": "One output step can see 13 of the 16 frames and uses about eight of them. Its architecture "
        "bounds what it can use at all.",
    },
    "A2": {
        "no": "The average lengths differ by less than a tenth of a frame here, and the other way round: which of the "
        "two finds the shorter context is not a matter of the rules alone.",
    },
    "A3": {
        "yes": "A window as long as the ATR is what the network needs: fewer frames cost accuracy, more add none.",
        "partly": "Accuracy saturates before the whole clip, but not at the length that ATR says.",
    },
    "A4": {
        "yes": "Wider kernels mix more frames, and the measured context follows.",
        "partly": "The widest kernel has a longer context than the narrowest, but the order is not strict.",
        "no": "The kernel allows a longer context; these small networks do not make use of it.",
    },
    "A5": {
        "no": "Here the context does not grow slower than the clip.",
        "yes": "The context is counted in frames by the network's own reach: more frames make it longer, but not "
        "in proportion.",
    },
    "A6": {
        "yes": "A weak test: checkpoints of one run are not different architectures.",
        "no": "A weak test: over checkpoints of one run both numbers move as it learns, which says nothing "
        "about different architectures.",
    },
    "A7": {
        "yes": "A network that may speak at few moments only has to look further around each of them.",
        "partly": "The extremes differ as in the paper; the order between them is not strict.",
        "no": "The networks were fine-tuned from one whose steps see 13 frames, and stay close to what it did.",
    },
    "A8": {
        "no": "Relevance lies neither near the diagonal nor on the action.",
        "yes": "Each output step looks at its own time first, and more where the action is.",
        "partly": "Each output step looks at its own time first; that more of it lies in the action is not sure.",
    },
    "A9": {
        "yes": "Holds on a handful of real clips, which is too few to be sure.",
        "partly": "A handful of real clips: only the direction of the means can be read, and one of the two agrees.",
        "no": "A handful of real clips: only the direction of the means can be read.",
    },
    "A11": {
        "no": "The sum of relevance is not that of the logits.",
        "yes": "Holds to rounding, biases included.",
        "partly": "No relevance is made, and of some clips a part is lost: the z+ rule has nowhere to pass on what "
        "a unit has that fires without any positive input, by its bias alone. Each answer tells its "
        "`conservation_defect`.",
    },
    "B1": {
        "yes": "The convolutional network decides by fewer frames.",
        "partly": "The convolutional network's masks are shorter, but by less than these clips can tell from chance.",
        "no": "Not so here: the recurrent network's masks are no longer. Both are weak, and trained to see what moves.",
    },
    "B2": {
        "yes": "Freezing costs more than reversing, the more so for the 3-D CNN. Medians are given: the mean of "
        "the ratio is ruled by single clips (the paper's deviation is five times its mean).",
        "partly": "One of the two numbers agrees. Eight of the ten classes turn into another one when reversed, "
        "which raises the fall by reversing; the paper's classes mostly do not.",
        "no": "Eight of the ten classes turn into another one when reversed, so reversing costs as much as "
        "freezing; the paper's classes mostly do not.",
    },
    "B3": {
        "yes": "The network reads the order of frames where the class needs it, and only there.",
    },
    "B4": {
        "no": "The masks do not lie on the action.",
        "yes": "What the mask freezes is the action.",
        "partly": "The masks lie on the action more often than chance, but these clips are too few to be sure.",
    },
    "B5": {
        "yes": "For a motion to and fro the answer rests on there being motion, not on its order.",
        "partly": "Freezing costs more than reversing, though reversing costs something too: a mask that reverses a "
        "part of a shake breaks its rhythm.",
        "no": "Reversing a part of a shake breaks its rhythm, and that costs as much as freezing it.",
    },
    "B6": {
        "yes": "Where a score does not rest on motion, the mask says so instead of naming frames.",
        "partly": "Where a score does not rest on motion, the mask says so instead of naming frames; for the other "
        "clips freezing does change the LRCN's score.",
        "no": "Freezing changes the LRCN's score on these clips.",
    },
    "B7": {
        "yes": "Holds with maps of 6 x 6 cells.",
        "partly": "The maps are 6 x 6 cells in both networks, and what moves lies anywhere in these clips, so "
        "nearness to the centre says little.",
        "no": "The maps are 6 x 6 cells in both networks, and what moves lies anywhere in these clips.",
    },
    "B8": {
        "no": "Neither the windows nor the mask point at these frames.",
        "yes": "The mask holds the frames that are known to decide, and few others.",
        "partly": "The window test finds them. The learned mask holds them too, but three times as many frames: "
        "freezing more lowers the score further (to less than 0.01), and this mask is no short one.",
    },
    "C1": {
        "yes": "What selection keeps is what moves.",
        "partly": "It finds what moves where the map is as fine as the clip, by a factor of five; of Grad-CAM's 7 x "
        "7 cells it keeps hardly anything, and that lies beside what moves.",
    },
    "C2": {
        "yes": "Guided maps draw what moves best, and look like no other map.",
        "partly": "About half of the voxels of a signed map are positive, so what is called positive decides more "
        "than the method does; the paper does not say what it centres, or how.",
        "no": "About half of the voxels of a signed map are positive, so what is called positive decides more "
        "than the method does; the paper does not say what it centres, or how.",
    },
    "C3": {
        "yes": "The kept voxels of DTD are stronger than the rest, those of the others weaker.",
        "partly": "In every map the kept voxels carry more than their share of the relevance. In the paper only "
        "DTD's do.",
        "no": "The kept voxels carry less than their share of the relevance.",
    },
    "C4": {
        "yes": "Most relevance is static also in a network that reads motion for certain, more so than in the LRCN, "
        "which reads appearance: a small motion share alone does not show that a model leans on context.",
        "partly": "Not in all networks.",
        "no": "Not in these networks.",
    },
    "C5": {
        "yes": "A derivative and a threshold, beside a forward pass and a propagation.",
        "no": "It costs more here.",
    },
    "C6": {
        "yes": "Precision grows with n and what is kept shrinks; n = 2 keeps much that does not move.",
        "partly": "What is kept shrinks with n throughout; precision grows up to a point.",
        "no": "The sweep has no clear direction.",
    },
    "C7": {
        "yes": "What stands still is not selected, however relevant it is.",
        "partly": "What stands still is selected less.",
        "no": "It is not removed.",
    },
    "D1": {
        "yes": "A quarter of the snippets suffices, if it is the right quarter. Note that the order is chosen "
        "with the true class in view.",
        "partly": "Accuracy rises as the worst snippets go and collapses as the best go, as in the paper; five of "
        "eight can go without loss, not six. Note that the order is chosen with the true class in view.",
    },
    "D2": {
        "yes": "What is recognised is supported by most of its snippets.",
    },
    "D3": {
        "yes": "The first frames that are seen tell most.",
        "partly": "Falls from scale 2 on. Scale 1 is low because one snippet alone says little of most motions.",
        "no": "Does not fall.",
    },
    "D4": {
        "yes": "What comes first and last decides.",
        "partly": "The ends distract most often: what comes before and after a motion misleads. They do not support "
        "most often, for the strokes lie anywhere in these clips.",
        "no": "The strokes lie anywhere in these clips.",
    },
    "D5": {
        "yes": "With more snippets there is more that the model could do without.",
        "partly": "Falls, but by no more than chance.",
        "no": "Does not fall here: motions of these clips are short, and with few snippets much of them is missed.",
    },
    "D6": {
        "yes": "The nearer a snippet is, the better it can stand in: values follow the motion smoothly.",
    },
    "D7": {
        "yes": "Sampling is nearly as good as published; its values are some 3 % too small.",
        "partly": "Sampling is a little worse than published.",
        "no": "Sampling is worse than published.",
    },
    "D8": {
        "yes": "Values of subsets predict what subsets do better than gradients at the whole clip.",
        "partly": "ESV is ahead, but not beyond chance.",
        "no": "Gradients choose as well or better here. ESV shares the gain of all subsets, and no axiom says "
        "that keeping the four highest is the best set of four.",
    },
    "D9": {
        "yes": "A model that averages gives each frame a score of its own, which every method reads; relations do not. "
        "IG and Grad-CAM agree entirely on TSN as both are linear in its features; the TSN is a weak one (0.33).",
        "partly": "Not for all pairs of methods.",
        "no": "Not with these two small networks.",
    },
    "E1": {
        "yes": "What it optimises is what these measure: how little of a clip keeps the class.",
        "partly": "Not in all three.",
        "no": "Another map is best on this network.",
    },
    "E2": {
        "yes": "Scattered grey voxels destroy a clip wherever they are. Deletion by voxels rewards noise, and is "
        "no measure to rank maps by.",
        "partly": "Noise is among the best: deletion by voxels is no measure to rank maps by.",
        "no": "Noise does not win here, but deletion by voxels should not be trusted for it.",
    },
    "E3": {
        "yes": "Patches are cheaper and tell the same.",
        "partly": "Similar, not the same.",
        "no": "The two forms rank maps differently: results of one cannot be held against those of the other.",
    },
    "E4": {
        "yes": "What suffices for the network is not what a person would point at.",
        "partly": "Another map than ST points best, so the measures oppose; but ST points better than Grad-CAM, "
        "whose 7 x 7 cells are coarse for the small movers of these clips.",
        "no": "ST points best here.",
    },
    "E5": {
        "yes": "Few clips: T-PT is one hit or miss for each of them.",
        "partly": "Few clips, and T-PT is one hit or miss for each of them: only one of the two directions is seen.",
        "no": "Few clips, and T-PT is one hit or miss for each of them.",
    },
    "E6": {
        "yes": "A compact mask points at the object; scattered ones please the network.",
        "partly": "One of the two directions is seen.",
        "no": "The wish for one shape changes little here.",
    },
    "E7": {
        "yes": "A tenth of the clip suffices, if it is the right tenth.",
        "partly": "A tenth suffices for ST; it is not the best map at every share.",
        "no": "A tenth does not suffice here.",
    },
    "E8": {
        "yes": "The ends hold more than their share.",
        "partly": "The ends hold a little more than their share.",
        "no": "This network pads time with zeros and looks for motion: the ends of a clip mean less to it.",
    },
    "E9": {
        "yes": "What suffices is a small part of the volume.",
        "partly": "For some clips a tenth suffices.",
        "no": "A tenth does not suffice for these clips.",
    },
}
