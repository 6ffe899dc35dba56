// sherpa-onnx in Node by its native library: node sherpa-onnx-node.cjs MODEL FILES...
const sherpa = require("sherpa-onnx-node");

const [model, ...files] = process.argv.slice(2);
const recognizer = new sherpa.OfflineRecognizer({ modelConfig: { omnilingual: { model }, tokens: "tokens.txt", numThreads: 1 } });
for (const file of files) {
  const stream = recognizer.createStream();
  stream.acceptWaveform(sherpa.readWave(file));
  recognizer.decode(stream);
  console.log(recognizer.getResult(stream).text.split(/\s+/).filter(Boolean).join(" "));
}
