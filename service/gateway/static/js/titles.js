// What people call the methods; their own names stand small beside these.

const TITLES = {
  "grad-cam": ["Where", "Grad-CAM"],
  "selective-relevance": ["What moves", "selective relevance"],
  atr: ["When", "ATR"],
  dtd: ["Pixels that count", "DTD"],
  clrp: ["Against its opposite", "CLRP"],
  "guided-backprop": ["Fine edges", "guided backprop"],
  "guided-grad-cam": ["Fine edges of where", "guided Grad-CAM"],
  "attention-rollout": ["Where it attends", "attention rollout"],
  esv: ["What each frame is worth", "Element Shapley Values"],
  "frame-shapley": ["What groups of frames are worth", "frame Shapley values"],
  "st-perturbation": ["The least that suffices", "spatio-temporal perturbation"],
  "temporal-mask": ["Frames it cannot do without", "temporal mask"],
  "integrated-gradients": ["Pixels on the way from nothing", "Integrated Gradients"],
  "gradient-shap": ["Pixels against noise", "GradientSHAP"],
  occlusion: ["Patches it misses", "occlusion"],
  "shapley-sampling": ["Frames in random order", "Shapley sampling"],
  "deep-lift": ["Pixels against a blank clip", "DeepLIFT"],
};

/** In words, with the field's name: "Where (Grad-CAM)". A method that came later has its own name. */
export function titleOf(method) {
  const [plain, technical] = TITLES[method] ?? [method];
  return technical ? `${plain} (${technical})` : plain;
}

/** The words alone: "Where". */
export const plainTitle = (method) => TITLES[method]?.[0] ?? method;
