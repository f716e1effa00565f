"""faceinv metrics: MSE, PSNR, SSIM and LPIPS."""
