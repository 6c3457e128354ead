"""What people do with annotations of their own before a job: list their words, check them. Usage: TEST.py WORKER"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

WORKER = sys.argv.pop(1)


class Own(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.data(0, "make", "shaperef", "--out", ".", "--size", "32", "--train", "3", "--val", "0", "--test", "0", "--quiet")
        self.annotations = json.loads(self.read("train_rec.json"))

    def path(self, name):
        return os.path.join(self.scratch.name, name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def write(self, name, data):
        with open(self.path(name), "w" if isinstance(data, str) else "wb") as f:
            f.write(data)

    def data(self, code, *arguments):
        got = subprocess.run([WORKER, "data", *arguments], cwd=self.scratch.name, capture_output=True, text=True, timeout=60)
        self.assertEqual(got.returncode, code, got.stderr)
        return got.stderr if code else got.stdout

    def captions(self, *captions):
        for image, caption in zip(self.annotations["images"], captions):
            image["caption"] = caption
        for box in self.annotations["annotations"]:
            box["tokens_positive"] = []
        self.write("own.json", json.dumps(self.annotations))

    def test_words_make_a_vocabulary(self):
        self.captions("The Caf\u00c9's  cup,", "THE caf\u00e9s\u00a0door", "x" * 129)
        words = self.data(0, "words", "train_rec.json", "own.json").split("\n")
        self.assertEqual(words, sorted(set(words[:-1]), key=str.encode) + [""])
        self.assertLessEqual({"'", ",", "s", "cup", "door", "the", "caf\u00c9"}, set(words))
        self.assertNotIn("x" * 129, words)
        self.write("words.txt", "\n".join(words))
        self.assertIn(" 1 of them not in the vocabulary", self.data(0, "check", "own.json", "--vocabulary", "words.txt"))
        self.assertIn(" 0 of them not in the vocabulary\n", self.data(0, "check", "train_rec.json", "--vocabulary", "words.txt"))

    def test_unknown_words_are_counted(self):
        self.captions("the CUP", "a cup")
        self.write("few.txt", "\n".join(w for w in self.data(0, "words", "own.json").split() if w != "cup"))
        said = self.data(0, "check", "own.json", "--vocabulary", "few.txt")
        self.assertIn(", 2 of them not in the vocabulary, the first \"CUP\" in record %d" % self.annotations["images"][0]["id"], said)

    def test_pictures_are_looked_at(self):
        image = self.annotations["images"][0]
        self.write(image["file_name"], b"\xff\xd8\xff\xe0 a photograph")
        said = self.data(12, "check", "train_rec.json")
        self.assertIn(image["file_name"], said)
        self.assertIn("is not a PNG file, and no other kind is read; convert it", said)

    def test_slips(self):
        self.assertIn("words takes annotation files only", self.data(2, "words"))
        self.assertIn("words takes annotation files only: --help-me", self.data(2, "words", "--help-me"))
        self.assertIn("gone.json", self.data(3, "words", "gone.json"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
