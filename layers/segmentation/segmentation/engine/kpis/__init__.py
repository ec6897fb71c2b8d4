"""How well the segmentation itself is doing: ages of profiles, overlap of segments, relevance of campaigns."""
