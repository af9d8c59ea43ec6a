import numpy as np

from mien.errors import DataError
from mien.explanation.class_maps import average_maps
from support import raises


def test_right_and_wrong_faces_apart_each_map_weighing_the_same():
    maps = np.array([[[2.0, 0.0]], [[0.0, 40.0]], [[-3.0, 3.0]], [[0.0, 0.0]]], dtype=np.float32)
    angry, happy = average_maps(maps, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), ("angry", "happy"))
    assert angry.right.tolist() == [[0.5, 0.5]]
    assert angry.wrong.tolist() == [[-1.0, 1.0]]
    assert (angry.right_count, angry.wrong_count) == (2, 1)
    assert happy.right is None
    assert happy.wrong.tolist() == [[0.0, 0.0]]
    with raises(DataError, "maps-shape"):
        average_maps(maps, np.array([0]), np.array([0]), ("angry",))
