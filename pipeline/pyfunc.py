"""A variant as an MLflow model: audio files in, text out. MLflow runs this file itself (models-from-code); no pickle.

    model = mlflow.pyfunc.load_model("models:/MODEL_ID")
    model.predict(pandas.DataFrame({"audio": [Path("speech.wav").read_bytes()]}))     # -> DataFrame, column text

`audio` is a whole file (WAV, FLAC, MP3, OGG, any rate) as bytes, which a served model takes as base64 in JSON.
"""

import mlflow
import pandas


class Transcriber(mlflow.pyfunc.PythonModel):
    """The Recognizer behind MLflow's interface."""

    def load_context(self, context):
        from pipeline.recognizer import Recognizer

        self.recognizer = Recognizer.load(context.artifacts["variant"])

    def predict(self, context, model_input: pandas.DataFrame, params=None) -> pandas.DataFrame:
        """One row a recording, column `audio` (bytes of a file) -> one row each, column `text`."""
        from pipeline import audio

        heard = [audio.read(bytes(one)) for one in model_input["audio"]]
        return pandas.DataFrame({"text": self.recognizer.transcribe_batch(heard)}, index=model_input.index)


mlflow.models.set_model(Transcriber())
