"""faceinv encoder: FaceNet Inception-ResNet-v1 trained on MS-Celeb-1M."""
