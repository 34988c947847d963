"""Draws 16 pictures by DDIM_50_0p0, with numpy and onnxruntime alone: python docs/onnx_ddim.py MODEL.onnx OUT.png [CLASS]

MODEL.onnx is made by: python -m interop to_onnx checkpoints/mnist_mini.safetensors MODEL.onnx
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image  # to write the PNG

STEPS, SIDE, SEED = 50, 4, 0
model, out, *label = sys.argv[1:] if len(sys.argv) > 2 else sys.exit(__doc__)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["diffusion"])
if about["student"]:
    sys.exit(f"{model} is a student, which takes no small steps: it draws by {about['sample_info']}")
(C, H, W), T, clip = about["shape"], about["timestep_num"], about["clip_denoised"]
# x_t = signal[t] x_0 + sigma[t] noise; t = -1 is the clean picture, whose entry is the last one.
signal, sigma = about["signal"] + [1.0], about["sigma"] + [0.0]
times = [T * k // STEPS - 1 for k in range(STEPS, -1, -1)]  # T-1 ... -1
x = np.random.default_rng(SEED).standard_normal((SIDE**2, C, H, W))
inputs = {}
if about["num_classes"]:  # the label num_classes means no class
    inputs["y"] = np.full(len(x), int(label[0]) if label else about["num_classes"])
if about["self_condition"]:  # the network is shown its last x_0
    inputs["shown"] = np.zeros(x.shape, np.float32)
for t, t_prev in zip(times, times[1:]):
    inputs |= {"x_t": x.astype(np.float32), "t": np.full(len(x), t)}
    (x_0,) = session.run(["x_0"], inputs)
    if clip == "dynamic":
        limit = np.quantile(np.abs(x_0), 0.995, axis=(1, 2, 3), keepdims=True).clip(1).astype(np.float32)
    x_0 = x_0.clip(-limit, limit) / limit if clip == "dynamic" else x_0.clip(-1, 1) if clip else x_0
    noise = (x - signal[t] * x_0) / sigma[t]
    x = signal[t_prev] * x_0 + sigma[t_prev] * noise  # DDIM (Song et al. 2021), Eq. 12, eta 0
    if about["self_condition"]:
        inputs["shown"] = x_0.clip(-1, 1)
pictures = np.rint((x.clip(-1, 1) + 1) * 127.5).astype(np.uint8).reshape(SIDE, SIDE, C, H, W)
sheet = pictures.transpose(0, 3, 1, 4, 2).reshape(SIDE * H, SIDE * W, C)
Image.fromarray(sheet if C == 3 else sheet[..., 0]).save(out)
