"""Framings that several declarations of this plugin share."""

from faceinv.contracts import Framing

#: The authors of FaceRes crop the box of MTCNN. The points are those of FaceNet's crop, which is that box with a
#: margin; at 100 pairs of LFW, dlib's and ArcFace's crops do no better.
FACERES = Framing(
    name="faceres-224",
    size=(224, 224),
    points=((0.327, 0.406), (0.673, 0.406), (0.500, 0.570), (0.347, 0.716), (0.653, 0.716)),
)
