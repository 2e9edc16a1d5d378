"""The landmarks of a face by their indices: contours and points that the rest of Mien names.

Right and left are the person's; of pairs the right comes first. A mesh has LANDMARKS points.
"""

from __future__ import annotations

from typing import Final

import numpy as np

LANDMARKS: Final = 478

OUTER_EYE_RIGHT, OUTER_EYE_LEFT = 33, 263
INNER_EYE_RIGHT, INNER_EYE_LEFT = 133, 362
EYE_CONTOURS: Final = (
    np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]),
    np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]),
)
"""from the outer corner along the lower lid and back along the upper one"""
LID_MIDDLES: Final = ((159, 145), (386, 374))
"""of each upper and lower lid"""
IRIS_CENTRES: Final = (468, 473)
IRIS_RINGS: Final = (469, 470, 471, 472, 474, 475, 476, 477)
EYEBALLS: Final = (
    (IRIS_CENTRES[0], (33, 133, 159, 145, 158, 153, 160, 144)),
    (IRIS_CENTRES[1], (263, 362, 386, 374, 385, 380, 387, 373)),
)
"""an iris's centre, and the points of the lids around it"""
EYE_REGIONS: Final = (
    (246, 161, 160, 159, 158, 157, 173, 33, 7, 163, 144, 145, 153, 154, 155, 133, 468, 469, 470,
     471, 472, 247, 30, 29, 27, 28, 56, 190, 130, 25, 110, 24, 23, 22, 26, 112, 243),
    (466, 388, 387, 386, 385, 384, 398, 263, 249, 390, 373, 374, 380, 381, 382, 362, 473, 474, 475,
     476, 477, 467, 260, 259, 257, 258, 286, 414, 359, 255, 339, 254, 253, 252, 256, 341, 463),
)  # fmt: skip
"""lids, iris and the ring around"""
BROWS: Final = (
    np.array([46, 53, 52, 65, 55, 107, 66, 105, 63, 70]),
    np.array([276, 283, 282, 295, 285, 336, 296, 334, 293, 300]),
)

MOUTH_CORNERS: Final = (61, 291)
LIPS_OUTER: Final = np.array(
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
)
INNER_LIPS: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415,
                     308, 324, 318, 402, 317, 14, 87, 178, 88, 95)  # fmt: skip
"""in turn, from the right corner along the upper lip"""
UPPER_INNER: Final = INNER_LIPS[:11]
LOWER_INNER: Final = (INNER_LIPS[0], *INNER_LIPS[:9:-1])
"""from corner to corner, each point under that of the upper lip"""
LIP_MIDDLES: Final = (13, 14)
"""of the inner upper and lower lip"""
OUTER_LIP_MIDDLES: Final = (0, 17)
UPPER_LIP: Final = (13, 0, 11, 12, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185,
                    191, 267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408,
                    409, 415)  # fmt: skip
LOWER_LIP: Final = (14, 15, 16, 17, 77, 84, 85, 86, 87, 88, 89, 90, 91, 95, 96, 146, 178, 179, 180,
                    181, 307, 314, 315, 316, 317, 318, 319, 320, 321, 324, 325, 375, 402, 403,
                    404, 405)  # fmt: skip
"""all of a lip's points but its corners"""

LIDS: Final = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)  # fmt: skip
"""of the right and of the left eye the upper and the lower lid, each from the picture's left"""
LOWER_BROWS: Final = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
"""the lower edges of the brows"""

FOREHEAD, NOSE, NOSE_BASE, CHIN = 10, 1, 2, 152
CHIN_REGION: Final = (152, 148, 377, 176, 400, 199, 200, 175, 171, 396, 18, 83, 313, 182, 406, 106,
                      335, 201, 421, 208, 428, 32, 262, 194, 418, 204, 424, 140, 369)  # fmt: skip
OVAL: Final = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
     148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
RIGID: Final = np.array(
    [1, 2, 4, 5, 6, 19, 94, 168, 195, 197, 33, 133, 263, 362, 127, 356, 234, 454, 162, 389, 21,
     251, 54, 284, 103, 332, 10, 151, 122, 351, 174, 399, 198, 420, 236, 456]
)  # fmt: skip
"""what hardly moves with expression: nose, eye corners, temples, upper cheek's border"""

BLENDSHAPE_POINTS: Final = np.array(
    [0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
     66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
     144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
     173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
     284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
     332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
     386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478)]
)  # fmt: skip
"""what the blendshape network reads, in its order"""
